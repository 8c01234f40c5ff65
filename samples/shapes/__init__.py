"""Builders of the samples' categories, by kind of thing; `categories` lists them all."""
