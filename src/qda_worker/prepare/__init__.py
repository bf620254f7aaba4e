"""Prepared forms: a model in bf16 or int8, made from its fp32 files, with the figures of its accuracy gate."""
