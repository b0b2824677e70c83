"""The models: where their files lie, what shape they have, how much their weights take."""
