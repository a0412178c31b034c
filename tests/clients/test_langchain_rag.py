"""A LangChain chain that retrieves with the server's embeddings and answers with its chat."""

import pytest
import requests
import tiktoken
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

TEXTS = ["A piano is a keyboard instrument.", "An elephant is a large animal.", "Copper is a metal."]


class ServerTokens:
    """Stands in for OpenAI's tokenizers, whose vocabularies are others than the server's."""

    def __init__(self, url):
        self.url = url

    def encode(self, text, **_):
        return requests.post(f"{self.url}/tokenize", json={"prompt": text}, timeout=30).json()["tokens"]

    encode_ordinary = encode


def make_embeddings(url, model, as_tokens):
    return OpenAIEmbeddings(base_url=f"{url}/v1", api_key="unused", model=model, max_retries=0, timeout=120,
                            check_embedding_ctx_length=as_tokens)


@pytest.fixture(params=[False, True], ids=["text", "tokens"])
def embeddings(request, monkeypatch, url, model):
    """With check_embedding_ctx_length the client sends token ids."""
    monkeypatch.setattr(tiktoken, "encoding_for_model", lambda _: ServerTokens(url))
    return make_embeddings(url, model, request.param)


def test_retrieval_finds_the_text_itself(embeddings):
    store = InMemoryVectorStore.from_texts(TEXTS, embeddings)
    for text in TEXTS:
        (found, score), *_ = store.similarity_search_with_score(text, k=1)
        assert found.page_content == text
        assert score == pytest.approx(1, abs=1e-5)


def test_text_and_tokens_have_the_same_vector(monkeypatch, url, model):
    monkeypatch.setattr(tiktoken, "encoding_for_model", lambda _: ServerTokens(url))
    text, tokens = (make_embeddings(url, model, as_tokens).embed_documents(TEXTS) for as_tokens in (False, True))
    for one, other in zip(text, tokens):
        assert one == pytest.approx(other, abs=1e-6)


def test_chain(embeddings, url, model):
    chat = ChatOpenAI(base_url=f"{url}/v1", api_key="unused", model=model, temperature=0, max_tokens=32, max_retries=0,
                      timeout=120)
    prompts = []
    retriever = InMemoryVectorStore.from_texts(TEXTS, embeddings).as_retriever(search_kwargs={"k": 1})
    prompt = ChatPromptTemplate.from_template("{context}\n{question}")
    chain = ({"context": retriever | (lambda found: found[0].page_content), "question": RunnablePassthrough()}
             | prompt | (lambda value: prompts.append(value.to_string()) or value) | chat | StrOutputParser())
    answer = chain.invoke(TEXTS[1])
    assert isinstance(answer, str)
    assert prompts == [f"Human: {TEXTS[1]}\n{TEXTS[1]}"], "the nearest text to a text is itself"
    assert "".join(chain.stream(TEXTS[1])) == answer
