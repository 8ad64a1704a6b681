"""SAM, what is put before it and into it, and its weights. The only package that knows torch layers."""
