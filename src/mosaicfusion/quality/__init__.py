"""Quality of the masks and images of a run: agreement with annotators, CLIP semantics, diversity, failure modes."""
