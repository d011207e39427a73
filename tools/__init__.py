"""Programs around the gateway: simulators, generators, benchmarks and builders."""
