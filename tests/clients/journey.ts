// A small journey with the types that are generated from the contract: register, consent, visit,
// schedule. Told by the environment: URL, and a token of each role in TOKENS.
import assert from "node:assert/strict";
import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./contract.js";

const study = "NCT03745417";
const tokens: Record<string, string> = JSON.parse(process.env["TOKENS"] ?? "{}");

function as(role: string): Client<paths> {
  return createClient<paths>({
    baseUrl: process.env["URL"] ?? "",
    headers: { Authorization: `Bearer ${tokens[role]}` },
  });
}

async function made<T>(answer: Promise<{ data?: T; error?: unknown }>): Promise<T & {}> {
  const { data, error } = await answer;
  if (data === undefined || data === null) throw new Error(JSON.stringify(error));
  return data;
}

const registration: components["schemas"]["RegistrationBody"] = {
  site: "GDTCM",
  external_id: `TS-${Date.now()}`,
  birth_date: "1985-04-12",
  sex: "female",
};
const participant = await made(
  as("coordinator").POST("/v1/studies/{study}/participants", {
    params: { path: { study }, header: { "Idempotency-Key": registration.external_id ?? "" } },
    body: registration,
  }),
);
assert.equal(participant.status, "screening");

const path = { study, participant: participant.id };
const consent = await made(
  as("coordinator").POST("/v1/studies/{study}/participants/{participant}/consents", {
    params: { path },
    body: {
      document_version: "1.2",
      signed_at: "2021-09-01T09:00:00+08:00",
      obtained_by: "Dr Li",
      scope: ["treatment", "data"],
    },
  }),
);
assert.equal(consent.write, "created");

const receipt = await made(
  as("edc").POST("/v1/studies/{study}/participants/{participant}/visits", {
    params: { path },
    body: {
      source_system: "types",
      source_ref: `SCR-${participant.id}`,
      visit: { code: "SCR", date: "2021-09-01", started_at: "2021-09-01T09:30:00+08:00" },
      assessments: [
        {
          instrument: "vas",
          assessed_at: "2021-09-01T09:40:00+08:00",
          answers: { value: 4.1, unit: "cm" },
        },
      ],
    },
  }),
);
assert.deepEqual(
  receipt.parts.map((part) => part.write),
  ["created"],
);

const schedule = await made(
  as("coordinator").GET("/v1/studies/{study}/participants/{participant}/schedule", {
    params: { path },
  }),
);
assert.ok(typeof schedule !== "string", "a calendar only where it is asked for");
assert.equal(schedule.visits.find((visit) => visit.code === "SCR")?.status, "done");

const refused = await as("edc").GET("/v1/studies/{study}/participants/{participant}", {
  params: { path: { study, participant: "00000000-0000-7000-8000-000000000000" } },
});
assert.equal(refused.error?.status, 404);
console.log(`journey of ${participant.screening_number} is done`);
