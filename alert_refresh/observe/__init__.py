"""What listens to outcomes and tells the world."""
