"""What belongs to a run folder: its settings, images, trained nets, tables, journals and what is made of them."""
