"""What `edgenas run` keeps between calls and says of its stages."""
