"""The script that Streamlit runs at every change of the page."""

from cxr14.app.view import show_page

show_page()
