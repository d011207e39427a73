"""What people run beside the gateway: audit exports and reports, made from its journal."""
