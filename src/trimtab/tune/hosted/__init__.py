"""Fine-tuning at any endpoint that speaks OpenAI's files and fine-tuning jobs."""
