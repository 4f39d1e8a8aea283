"""What node and platform say to each other and how they trust it: the one package that both sides import."""
