"""The built-in selectors: which of the candidates that no rule has rejected survive.

| selector | class | keeps |
| --- | --- | --- |
| all | by_score.All | everything |
| threshold | by_score.Threshold | scores within bounds |
| top | by_score.Top | the best by a score |

Response selectors: which of several responses to one instruction is kept.

| selector | class | keeps |
| --- | --- | --- |
| first | responses.First | the first |
| best | responses.Best | the best by a score |
"""
