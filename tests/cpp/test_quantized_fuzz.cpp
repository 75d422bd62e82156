#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "../fuzz/network_target.hpp"
#include "source_files.hpp"

/// Damaged documents, drawn at random but the same each time: the target of libFuzzer without libFuzzer.
namespace {

std::vector<std::string> read_corpus() {
    std::vector<std::string> texts;
    if (!std::filesystem::exists(corpus_folder())) return texts;  // the tests are there, the sources are not
    for (const auto& entry : std::filesystem::directory_iterator(corpus_folder())) {
        std::ifstream file(entry.path(), std::ios::binary);
        texts.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    std::ranges::sort(texts);  // not in the order of the folder
    return texts;
}

class Mutator {
public:
    explicit Mutator(unsigned seed) : random_(seed) {}

    std::string operator()(std::string text, const std::string& other) {
        const std::size_t n = 1 + below(3) / 2;
        for (std::size_t i = 0; i < n; ++i) mutate(text, other);
        return text;
    }

private:
    std::size_t below(std::size_t n) { return n == 0 ? 0 : random_() % n; }

    void mutate(std::string& text, const std::string& other) {
        static constexpr std::array<const char*, 16> tokens = {"0",
                                                               "-1",
                                                               "1e308",
                                                               "9223372036854775807",
                                                               "-9223372036854775808",
                                                               "18446744073709551616",
                                                               "[]",
                                                               "{}",
                                                               "null",
                                                               "\"",
                                                               "[[[[",
                                                               "ap_uint<64>",
                                                               "ap_fixed<64,-128>",
                                                               "0.5",
                                                               "true",
                                                               "2147483648"};
        const std::size_t at = below(text.size());
        switch (below(12)) {
            case 0: text.resize(at); break;
            case 1:
                if (!text.empty()) text[at] = static_cast<char>(random_());
                break;
            case 2: text.erase(at, below(40)); break;
            case 3: replace_number(text, at, tokens[below(tokens.size())]); break;
            case 4: text.insert(at, text.substr(below(text.size()), below(60))); break;
            case 5: text.insert(at, other.substr(below(other.size()), below(200))); break;
            default: replace_number(text, at, std::to_string(static_cast<int>(below(40)) - 4)); break;
        }
    }

    static void replace_number(std::string& text, std::size_t at, const std::string& by) {
        const std::size_t begin = text.find_first_of("-0123456789", at);
        if (begin == std::string::npos) return;
        const std::size_t end = text.find_first_not_of("-0123456789.", begin);
        text.replace(begin, (end == std::string::npos ? text.size() : end) - begin, by);
    }

    std::mt19937 random_;
};

}  // namespace

TEST(QuantizedFuzz, TheCorpusItselfIsAccepted) {
    const auto corpus = read_corpus();
    if (corpus.empty()) GTEST_SKIP() << "no folder " << corpus_folder();
    ASSERT_GT(corpus.size(), 10U);
    for (const std::string& text : corpus) EXPECT_TRUE(fuzz_network(text)) << text.substr(0, 200);
}

TEST(QuantizedFuzz, DamagedDocumentsAreRefusedOrRun) {
    const auto corpus = read_corpus();
    if (corpus.empty()) GTEST_SKIP() << "no folder " << corpus_folder();
    std::size_t n_accepted = 0;
    constexpr std::size_t n = 4000;
    for (std::size_t i = 0; i < n; ++i) {
        Mutator mutate(static_cast<unsigned>(i));
        n_accepted += fuzz_network(mutate(corpus[i % corpus.size()], corpus[i * 7 % corpus.size()])) ? 1U : 0U;
    }
    EXPECT_GT(n_accepted, n / 100);  // so that both ways are taken
    EXPECT_LT(n_accepted, n);
}
