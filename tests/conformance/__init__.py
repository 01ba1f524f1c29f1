"""Every store against its contract. Asserts of the shipped suite show their values here as those of tests do."""
