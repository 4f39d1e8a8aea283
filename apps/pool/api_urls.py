"""The pool's addresses in the API."""

from django.urls import path

from apps.pool import api, openai_api

urlpatterns = [
    path("api/v1/jobs", api.JobList.as_view(), name="api_jobs"),
    path("api/v1/jobs/quote", api.JobQuote.as_view(), name="api_job_quote"),
    path("api/v1/jobs/<str:job_id>", api.JobDetail.as_view(), name="api_job"),
    path("api/v1/jobs/<str:job_id>/tasks", api.JobTasks.as_view(), name="api_job_tasks"),
    path("api/v1/jobs/<str:job_id>/result", api.JobResult.as_view(), name="api_job_result"),
    path("api/v1/jobs/<str:job_id>/cancel", api.JobCancel.as_view(), name="api_job_cancel"),
    path("api/v1/jobs/<str:job_id>/receipt", api.JobReceipt.as_view(), name="api_job_receipt"),
    path("v1/embeddings", openai_api.Embeddings.as_view(), name="openai_embeddings"),
    path("v1/models", openai_api.OpenAiModels.as_view(), name="openai_models"),
    path("v1/models/<path:name>", openai_api.OpenAiModel.as_view(), name="openai_model"),
]
