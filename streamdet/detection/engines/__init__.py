"""Ways to compute the network: torch, torch with Winograd's filtering, OpenVINO; and which of them is fastest here."""
