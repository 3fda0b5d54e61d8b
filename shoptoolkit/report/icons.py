"""The few line icons of a page: a name comes in, an inline SVG (decoration only, always beside a word) goes out."""

from __future__ import annotations

__all__ = ["icon"]

PATHS = {
    "pass": '<path d="M20 6.5 9.5 17.5 4 12"/>',
    "warn": '<path d="M12 3.5 22 20.5H2z"/><path d="M12 10v4.5M12 17.6v.1"/>',
    "stop": '<circle cx="12" cy="12" r="9"/><path d="m5.8 5.8 12.4 12.4"/>',
    "info": '<circle cx="12" cy="12" r="9"/><path d="M12 11v5.5M12 7.6v.1"/>',
    "code": '<path d="m8 7-5 5 5 5M16 7l5 5-5 5"/>',
    "half": '<circle cx="12" cy="12" r="8.5"/>'
    '<path d="M12 3.5v17a8.5 8.5 0 0 0 0-17z" fill="currentColor" stroke="none"/>',
    "right": '<path d="m9 6 6 6-6 6"/>',
    "find": '<circle cx="10.5" cy="10.5" r="6.5"/><path d="m20 20-4.8-4.8"/>',
}


def icon(name: str) -> str:
    """Draw one icon.

    Parameters
    ----------
    name
        One of pass, warn, stop, info, code, half, right, find.

    Returns
    -------
    str
        An `<svg class="icon">`, hidden from screen readers.
    """
    return (
        '<svg class="icon" viewBox="0 0 24 24" width="16" height="16" fill="none" stroke="currentColor" '
        f'stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">{PATHS[name]}</svg>'
    )
