from .likelihood import expected_log_prob as expected_log_prob
