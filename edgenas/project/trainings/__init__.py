"""How the nets of a run folder are taught: its teacher, its supernet and every plain net, with the settings in force."""
