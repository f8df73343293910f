"""What tests share: tiny models, small clips, domains and tasks, and checks of what the package writes."""
