"""Other authors' nets, run as their authors ran them, beside what they published. Imports report and below."""
