"""Pictures and sound of any description, made without a model; start with `pictures.draw` and `sounds.render_parts`."""
