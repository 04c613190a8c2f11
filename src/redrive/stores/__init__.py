"""The stores that come with redrive; `backends` has the table of them."""
