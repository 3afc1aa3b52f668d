"""The kernel: what every service is made of. It knows no trial.

A service author needs this page and nothing else:

- `application.build_app` makes the FastAPI application from a `Service`.
- Routes are declared on `operations.router()`; each names the roles that may call it with
  `may(...)` and the refusals that it gives with `documented(...)`.
- A write is a command, handed to `Writer.submit(command, load=..., decide=...)`:
  *load* reads what the decision needs, *decide* is pure and returns a `Decision` of `Change`s
  or raises a `Refusal`, the writer appends and answers after the commit.
- Reads of stored records go through `records`; lists through `paging`.
- Facts of other services arrive by their feeds (`following`) in the table `fact`.
- Rules raise `refusals`; bodies are built from `values`.
"""
