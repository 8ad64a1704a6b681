"""The numbers printed in the paper, as data: `published.toml`."""
