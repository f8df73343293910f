"""What people look at: heat maps, curves and pages."""
