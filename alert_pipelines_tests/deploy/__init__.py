"""The deployment files, as far as they can be tried without Docker, systemd or Kubernetes."""
