" Vim syntax file for probrun, made by editors/make.py from grammar/prob.lark and dsl/tables.
if exists("b:current_syntax")
  finish
endif

syn case match
syn keyword probDeclaration param data fn
syn keyword probStatement using if then else for while return observe
syn keyword probStatement factor via
syn keyword probOperator in and or not
syn keyword probConstant true false pi inf
syn keyword probDomain simplex
syn keyword probDistribution Normal StudentT Cauchy Laplace Gumbel Logistic VonMises MultivariateNormal LogNormal HalfNormal HalfCauchy Exponential Gamma InverseGamma Chi2 Weibull Pareto Uniform Beta LogitNormal Triangular Kumaraswamy TruncatedNormal Dirichlet LKJCholesky Bernoulli Categorical OneHotCategorical Binomial BetaBinomial Multinomial Poisson Geometric NegativeBinomial DiscreteUniform permutation Truncated Mixture
syn keyword probFunction exp log log1p expm1 sqrt abs sign floor ceil round sin cos tan atan tanh sinh cosh sigmoid logit softplus relu normcdf erf lgamma digamma clamp where min max sum mean prod any all cumsum softmax logsumexp argmax argmin argsort cumprod var std quantile sort length dot matmul outer transpose diag inverse solve cholesky logdet zeros ones arange stack concat range logpdf cdf logcdf logsf
syn match probEstimator /\<using\s\+\zs\%(sample\|rsample\|enumerate\|gumbel\|score\|fork\|jump\)\>/
syn match probNumber /\<\d\+\.\=\d*\%([eE][+-]\=\d\+\)\=\|\.\d\+\%([eE][+-]\=\d\+\)\=/
syn match probSampled /\~/
syn match probComment /#.*$/ contains=@Spell

hi def link probDeclaration StorageClass
hi def link probStatement Statement
hi def link probOperator Operator
hi def link probConstant Constant
hi def link probDomain Type
hi def link probDistribution Type
hi def link probFunction Function
hi def link probEstimator Special
hi def link probNumber Number
hi def link probSampled Operator
hi def link probComment Comment

let b:current_syntax = "prob"
