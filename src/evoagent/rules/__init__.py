"""The built-in rules, in the order in which they are best applied.

| rule | class | looks at | needs |
| --- | --- | --- | --- |
| extracted | surface.Extracted | instruction | |
| truncated | surface.Truncated | instruction | |
| unchanged | surface.Unchanged | instruction | |
| length_ratio | surface.LengthRatio | instruction | |
| repetition | surface.Repetition | instruction | |
| language | language.Language | instruction | |
| missing_input | surface.MissingInput | instruction | |
| template_leak | template_leak.TemplateLeak | instruction | |
| not_an_instruction | detector.NotAnInstruction | instruction | embedder.embed |
| drift | semantic.Drift | instruction | embedder.embed |
| relevance | relevance.Relevance | instruction | scorer.loss |
| no_information_gain | semantic.NoInformationGain | instruction | judge.generate |
| refusal | responses.Refusal | response | |
| empty_response | responses.EmptyResponse | response | |
| near_duplicate | near_duplicate.NearDuplicate | population | embedder.embed |

Their specs are in `evoagent.plugins.builtins`. What a rule looks at and needs is told by its spec; the parameters of a
class `X` that has some are the class `XConfig` beside it. `base` has what every rule extends.
"""
