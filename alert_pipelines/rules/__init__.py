"""The rule language: its models, its compiler to MongoDB, and where rules are kept."""
