"""Model providers behind one small interface (``model_provider``)."""
