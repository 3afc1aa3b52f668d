"""The kernel: what every service is made of. It knows no trial.

Each room says on its front page what it offers; from outside one imports the room. From the
bottom up, each built on those above it in this list:

- `refusals`, `values`, `exact_json`, `problems`: why something is refused, what a member of a
  body may be, numbers without rounding, and the one shape in which a refusal is answered.
- `holdings`: what a process holds; `holdings.held` finds it for a request, by its type.
- `storage`: the database. A service declares its tables on `storage.VersionRow`.
- `records`: what a decision sees and returns. Rules take `records.Stored`, and return a
  `records.Decision` of `records.Change`s, or raise a refusal.
- `identity`, `observing`: who calls; logs, metrics and traces.
- `http`: operations are declared on `http.router`, and name with `http.may` the roles that may
  call them and the refusals that they give. Lists end in `http.page_response`.
- `definition`: `definition.Service` is what a service says of itself.
- `feeds`: facts of other services are read with `feeds.load_facts`; `feeds.known_participant`
  finds whom a path means.
- `writing`: `writing.submit` hands a command over: *load* reads what the decision needs,
  *decide* is pure, and the answer leaves after the commit.
- `resources`: `resources.add_reads` gives a kind of record its operations for reading.
- `audit`, `queries`, `openapi`: what every service has without asking.
- `application`: `application.build_app` makes the process of a `definition.Service`.
- `settings`, `migrating`: what the environment tells, and the schema's versions.
"""
