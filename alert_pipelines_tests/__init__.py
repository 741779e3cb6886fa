"""The tests, laid out as the package is; they run on a real mongod and a real Dagster."""
