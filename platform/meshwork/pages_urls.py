"""The pages of the network itself."""

from django.urls import path

from meshwork import pages

urlpatterns = [
    path("", pages.landing, name="landing"),
    path("totals", pages.totals, name="totals"),
    path("overview", pages.overview, name="overview"),
    path("overview/live", pages.overview_live, name="overview_live"),
    path("search", pages.search, name="search"),
]
