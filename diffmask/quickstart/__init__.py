"""The whole method on a real model and real text, small and offline: text, anchors, preview, two runs, one page."""
