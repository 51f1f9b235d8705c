# list the verbs
default:
    @just --list

# everything a change must pass
check: lint types imports test

lint:
    uv run ruff check
    uv run ruff format --check
    uv run codespell

types:
    uv run pyrefly check
    for page in packages/*/tests/typing/api.py; do uv run mypy --strict "$page" || exit 1; done
    uv run pyright --pythonpath .venv/bin/python packages/*/tests/typing/api.py

imports:
    uv run lint-imports

# the default suite
test *args:
    uv run python start.py test default {{args}}

# servers, browsers, images, endurance
long *args:
    uv run python start.py test long {{args}}

# the tests that need a GPU, failing if there is none
gpu *args:
    ITK_EXPECT_GPU=1 uv run python start.py test gpu {{args}}

fix:
    uv run ruff check --fix
    uv run ruff format

# the engine against a folder of reference outputs
parity folder="packages/itk-engine/tests/golden":
    uv run python -m itk_engine.parity {{folder}}

# regenerate the documents that are made from the code
docs:
    uv run python -m itk_schema.reference docs
    uv run python -m itk_worker.settings > docs/worker-settings.md
    uv run python packages/itk-client/tests/test_docs.py

# what is measured and how: see benchmarks/README.md
bench *args:
    uv run python -m benchmarks {{args}}

# prove that the packages work outside this repository
wheels:
    uv run pytest -m "long or not long" tests/test_wheels.py

# the worker's image
image tag="itk-worker":
    docker build -f docker/worker.Dockerfile -t {{tag}} .
