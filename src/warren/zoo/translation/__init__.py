"""Six small Transformers learn to translate messages of programs into German, scored by BLEU; about four minutes."""
