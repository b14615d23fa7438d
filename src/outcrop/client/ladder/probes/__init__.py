"""What a node can do, found out by trying it in processes that leave nothing behind."""
