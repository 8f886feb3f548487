"""Parts for regard from another package."""
