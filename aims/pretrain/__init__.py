"""How sam-tiny is made: generated scenes and photographs become weights and a model card."""
