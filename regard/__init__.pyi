from regard.interop.exporting import export_checkpoint as export_checkpoint
from regard.interop.importing import import_checkpoint as import_checkpoint
from regard.model.attention import attend as attend
from regard.model.describe import describe as describe
from regard.model.mask import Causal as Causal
from regard.model.mask import Contiguous as Contiguous
from regard.model.mask import Full as Full
from regard.model.mask import Prefix as Prefix
from regard.model.mask import Ragged as Ragged
from regard.model.mask import Window as Window
from regard.model.multihead import MultiheadAttention as MultiheadAttention
from regard.model.transformer import EncoderDecoder as EncoderDecoder
from regard.model.transformer import EncoderDecoderConfig as EncoderDecoderConfig
from regard.model.transformer import Transformer as Transformer
from regard.model.transformer import TransformerConfig as TransformerConfig
from regard.onepage.page import export_page as export_page
from regard.run import Run as Run
from regard.run import load as load
from regard.run import trace as trace
from regard.training import train as train

__version__: str
