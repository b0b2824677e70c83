"""Plain text work of the extractive engine: cleaning, sentences, terms, kinds of question. Knows no prompts."""
