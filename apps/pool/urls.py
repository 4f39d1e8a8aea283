"""Addresses of the pages of jobs."""

from django.urls import path

from apps.pool import idle_views, views

urlpatterns = [
    path("nodes/<str:node_id>/idle", idle_views.node_idle, name="node_idle"),
    path("jobs", views.jobs, name="jobs"),
    path("jobs/live", views.jobs_live, name="jobs_live"),
    path("jobs/new", views.new_job, name="job_new"),
    path("jobs/quote", views.quote, name="job_quote"),
    path("jobs/<str:job_id>", views.job_detail, name="job_detail"),
    path("jobs/<str:job_id>/live", views.job_live, name="job_live"),
    path("jobs/<str:job_id>/cancel", views.job_cancel, name="job_cancel"),
    path("jobs/<str:job_id>/result", views.job_result, name="job_result"),
    path("jobs/<str:job_id>/receipt.json", views.job_receipt, name="job_receipt"),
]
