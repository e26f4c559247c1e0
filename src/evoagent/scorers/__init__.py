"""The built-in scorers.

| name | class | config | needs |
| --- | --- | --- | --- |
| ifd | losses.IFD | IFDConfig | scorer.loss |
| ifd_ppl | losses.IFDPerplexity | IFDConfig | scorer.loss |
| ic_ifd | losses.InstructionComplexIFD | IFDConfig | scorer.loss |
| instruction_loss | losses.InstructionLoss | IFDConfig | scorer.loss |
| difficulty | difficulty.Difficulty | DifficultyConfig | judge.generate |
| embedding_diversity | embedding_diversity.EmbeddingDiversity | none; of the population | embedder.embed |
| length | length.Length | none | |
"""
