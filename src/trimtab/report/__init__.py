"""HTML and text for people, from a saved decision only: nothing here measures or decides."""
