"""What pages are made with: `page` (templates and the page around them), `charts`, and the templates themselves."""
