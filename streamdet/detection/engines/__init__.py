"""Ways to compute the network: torch, OpenVINO in bfloat16, OpenVINO in INT8; and which of them is fastest here."""
