import pytest

pytest.register_assert_rewrite("story.first_weeks", "story.second_decision", "story.team")
