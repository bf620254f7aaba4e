"""The fake worker's tokens: the words between single spaces, in one sentence whose root is the first word."""

from qda.v1 import syntax_pb2, text_pb2


def syntax_of(text: text_pb2.Text) -> syntax_pb2.SyntaxResult:
    """Return the tokens of a text that is not empty."""
    words = text.content.split(" ")
    result = syntax_pb2.SyntaxResult(id=text.id)
    position = 0
    for number, word in enumerate(words):
        result.tokens.add(
            text=word,
            span=text_pb2.Span(start=position, end=position + len(word)),
            space_after=number < len(words) - 1,
            lemma=word.lower(),
            universal_part_of_speech="X",
            head_index=0,
            dependency_label="dep" if number else "ROOT",
        )
        position += len(word) + 1
    span = text_pb2.Span(start=0, end=len(text.content))
    result.sentences.add(span=span, first_token_index=0, token_count=len(words))
    return result
