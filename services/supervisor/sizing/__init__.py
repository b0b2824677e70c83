"""What fits on this machine: its memory, the models' own files, and what the engines take. For `--plan` and preflight.

hardware ← reading (nvidia-smi, /proc, cgroups) · places → weights, architecture → profile (what a model is) ·
demand (what the settings ask for) · memory (the formulas) → fitting (the verdicts) → report (what is printed).
"""
