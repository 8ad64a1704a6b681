"""Pretraining of sam-tiny: from generated scenes and photographs to weights and a model card."""
